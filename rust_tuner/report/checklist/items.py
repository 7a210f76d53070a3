"""The items of CLAIM 2024 and TRIPOD+AI, paraphrased, and the facts that answer each.

Tejani et al., Radiology: Artificial Intelligence 2024, doi:10.1148/ryai.240300 (44 items); Collins
et al., BMJ 2024, doi:10.1136/bmj-2023-078378 (27 items). The originals are authoritative. The facts
themselves are in `facts`.
"""

from dataclasses import dataclass

CLAIM = "CLAIM 2024"
TRIPOD = "TRIPOD+AI"


@dataclass(frozen=True)
class Item:
    """One item of a checklist.

    Attributes:
        number: as the checklist counts it.
        asks: what it asks for.
        facts: names of the facts that answer it, in order.
        left: what the authors have to add; empty if the facts answer all of it.
    """

    number: str
    asks: str
    facts: tuple[str, ...] = ()
    left: str = ""


CLAIM_ITEMS: dict[str, tuple[Item, ...]] = {
    "Title and abstract": (
        Item("1", "the title names the kind of AI method", ("technology",), "wording of the title"),
        Item("2", "structured abstract", ("headline",), "the abstract"),
    ),
    "Introduction": (
        Item("3", "background, intended use and clinical role", (), "background and role"),
        Item("4", "aims, objectives, hypotheses", ("question",), "clinical aims and hypotheses"),
    ),
    "Methods: design": (
        Item("5", "prospective or retrospective", (), "which, and why"),
        Item("6", "goal of the study", ("design",), "the clinical goal"),
    ),
    "Methods: data": (
        Item("7", "sources of the data", ("data", "sites"), "institutions, dates, earlier use"),
        Item("8", "inclusion and exclusion criteria", (), "criteria, setting, dates"),
        Item("9", "preprocessing", ("preprocessing",), "what was done before this software"),
        Item("10", "selection of subsets", ("subset",), "selection before this software, if any"),
        Item("11", "de-identification", (), "how, and by whom"),
        Item("12", "missing data", ("missing",), "why scores are missing"),
        Item("13", "image acquisition", (), "equipment and acquisition protocol"),
    ),
    "Methods: reference standard": (
        Item("14", "definition of the reference standard", ("reference",), "how scores were read"),
        Item("15", "rationale for the reference standard", (), "rationale"),
        Item("16", "source of the annotations", (), "readers and their qualification"),
        Item("17", "annotation of the test set", (), "whether it differed"),
        Item("18", "variability within and between readers", (), "reader agreement"),
    ),
    "Methods: partitions": (
        Item("19", "assignment to partitions", ("partitions", "folds")),
        Item("20", "level at which partitions are disjoint", ("disjoint",)),
        Item("21", "intended sample size", ("sizes",), "how the size was arrived at"),
    ),
    "Methods: model": (
        Item("22", "model, inputs and outputs", ("model", "inputs")),
        Item("23", "software and versions", ("versions", "machines")),
        Item("24", "initial parameters", ("weights", "seed")),
    ),
    "Methods: training": (
        Item("25", "training, augmentation, hyperparameters", ("training", "searches", "best")),
        Item("26", "selection of the final model", ("selection", "ties")),
        Item("27", "ensembles", ("ensembles",)),
    ),
    "Methods: evaluation": (
        Item("28", "metrics of performance", ("metrics",), "why these, and which is the main one"),
        Item("29", "significance and uncertainty", ("uncertainty",)),
        Item("30", "robustness or sensitivity", ("robustness",), "further sensitivity analyses"),
        Item("31", "explainability", (), "methods and their validation, or none"),
        Item("32", "evaluation on internal data", ("internal",)),
        Item("33", "testing on external data", ("external",), "external data, or none"),
        Item("34", "trial registration", (), "registration, if any"),
    ),
    "Results": (
        Item("35", "patients included and excluded", ("sizes",), "numbers excluded, flow diagram"),
        Item("36", "characteristics of each partition", ("labels",), "demography of patients"),
        Item("37", "performance and its uncertainty", ("headline", "view_only", "agreement")),
        Item("38", "diagnostic performance and its precision", ("union",)),
        Item("39", "analysis of failures", ("failures",), "what the model gets wrong, and why"),
    ),
    "Discussion": (
        Item("40", "limitations", ("limitations",), "limitations of data and design"),
        Item("41", "implications for practice", ("use",), "implications"),
    ),
    "Other information": (
        Item("42", "full protocol or further detail", ("protocol",), "where it can be had"),
        Item("43", "availability of software, model and data", ("software",), "availability"),
        Item("44", "funding and the funders' role", (), "funding"),
    ),
}

TRIPOD_ITEMS: dict[str, tuple[Item, ...]] = {
    "Title and abstract": (
        Item("1", "title: developing or evaluating, population, outcome", (), "the title"),
        Item("2", "abstract, by its own checklist", ("headline",), "the abstract"),
    ),
    "Introduction": (
        Item("3a-c", "context, intended users, known inequalities", (), "all of it"),
        Item("4", "objectives: development, evaluation or both", ("design",), "objectives"),
    ),
    "Methods": (
        Item("5a-b", "sources and dates of the data", ("data",), "sources, dates"),
        Item("6a-c", "setting, eligibility, treatments", ("sites",), "all else"),
        Item("7", "data preparation and quality checks", ("preprocessing", "checked")),
        Item("8a-c", "outcome, its assessors, blinding", ("reference",), "assessors and blinding"),
        Item("9a-c", "predictors and their measurement", ("inputs",), "assessors and blinding"),
        Item("10", "sample size", ("sizes",), "how it was arrived at"),
        Item("11", "missing data", ("missing",), "why they are missing"),
        Item("12a", "use of the data, partitions", ("partitions", "folds", "disjoint")),
        Item("12b", "handling of predictors", ("preprocessing",)),
        Item(
            "12c",
            "model, building, hyperparameters, internal validation",
            ("model", "training", "searches", "best", "selection"),
        ),
        Item("12d", "heterogeneity between clusters", ("robustness", "sites"), "further analyses"),
        Item("12e", "measures of performance", ("metrics", "uncertainty"), "why these"),
        Item("12f", "updating of the model", ("updating",)),
        Item("12g", "how predictions were calculated", ("predictions",)),
        Item("13", "class imbalance", ("imbalance",), "why that is suitable"),
        Item("14", "fairness", (), "approach to fairness, or none"),
        Item("15", "output of the model, thresholds", ("outputs", "thresholds"), "their rationale"),
        Item(
            "16", "differences of development and evaluation data", ("partitions",), "differences"
        ),
        Item("17", "ethical approval and consent", (), "approval"),
    ),
    "Open science": (
        Item("18a-b", "funding, conflicts of interest", (), "both"),
        Item("18c-d", "protocol and registration", ("protocol",), "where they can be had"),
        Item("18e-f", "sharing of data and code", ("software",), "availability"),
        Item("19", "involvement of patients and public", (), "involvement, or none"),
    ),
    "Results": (
        Item("20a-c", "flow and characteristics", ("sizes", "labels"), "flow, demography"),
        Item("21", "participants and events of each analysis", ("sizes", "labels")),
        Item("22", "the full model", ("card", "weights"), "how it can be had"),
        Item(
            "23a-b", "performance with intervals, by subgroup", ("headline", "agreement", "union")
        ),
        Item("24", "results of updating", ("updating",)),
    ),
    "Discussion": (
        Item("25", "interpretation, fairness among it", (), "interpretation"),
        Item("26", "limitations", ("limitations",), "limitations of data and design"),
        Item("27a-c", "use in practice and next steps", ("use",), "usability, next steps"),
    ),
}
