"""Where trials run: in this process, or in the processes of an engine that runs functions.

The coordinator, which is the process that called `search`, alone proposes trials, writes their
states and scores them. A worker trains the folds of one trial and leaves their records in the
trial's folder, each with a key of everything it depends on. The coordinator then takes the trial up
as it takes one up after an interruption: records are adopted, whoever wrote them.
"""
