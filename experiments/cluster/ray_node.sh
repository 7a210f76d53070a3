#!/usr/bin/env bash
# Starts or stops one node of a Ray cluster that only holders of its token can use.
#
#   ray_node.sh head   ADDRESS           on the head node; ADDRESS is its own, in a private network
#   ray_node.sh worker ADDRESS OWN       on every other node; OWN is that node's address
#   ray_node.sh stop                     on any node
#
# The token is ~/.ray/auth_token: the head makes it, and the other nodes need a copy, unless home
# folders are shared. Set RUST_TUNER_CPUS or RUST_TUNER_GPUS to offer less than the node has.
set -euo pipefail

export RAY_AUTH_MODE=token
umask 077

port=6379
offers=()
[ -z "${RUST_TUNER_CPUS:-}" ] || offers+=(--num-cpus="$RUST_TUNER_CPUS")
[ -z "${RUST_TUNER_GPUS:-}" ] || offers+=(--num-gpus="$RUST_TUNER_GPUS")

case "${1:-}" in
head)
    ray get-auth-token --generate > /dev/null
    chmod 600 ~/.ray/auth_token
    ray start --head --node-ip-address="$2" --port="$port" --ray-client-server-port=10001 \
        --include-dashboard=false --disable-usage-stats "${offers[@]}"
    ;;
worker)
    [ -r ~/.ray/auth_token ] || { echo "copy ~/.ray/auth_token of the head node here" >&2; exit 1; }
    ray start --address="$2:$port" --node-ip-address="$3" --disable-usage-stats "${offers[@]}"
    ;;
stop)
    ray stop
    ;;
*)
    sed -n '2,9p' "$0" >&2
    exit 2
    ;;
esac
