"""Command lines and study files that nobody can mean, made the same in every run."""

import itertools

STUDY = """
title: Noise
methods: pca
datasets: cifar_mnist
seeds: "0"
tier: smoke
vary:
  datasets:
    noise: [0.0, 0.3]
show: [CAscore]
"""
DEEP = "[" * 3000 + "]" * 3000
TEXTS = (
    "",
    " ",
    ",",
    "пка",
    "🦆",
    "\u202epca",
    "\udcff",
    "a" * 5000,
    "-1",
    "nope",
    "../x",
    "%s{}",
    "$(x)",
    "None",
    "{}",
)
ITEMS = (
    "pca[",
    "pca]",
    "]pca[",
    "pca[x",
    "[x=1]",
    "pca[salient_dim]",
    "pca[salient_dim=]",
    "pca[=1]",
    "pca[nope=1]",
    "pca[[salient_dim=1]]",
    "pca(salient_dim=1)",
    "pca;cvae",
    "'pca'",
    "pca,nope",
    "pca[salient_dim=1",
    "pca=1",
    *(
        f"pca[salient_dim={value}]"
        for value in (DEEP, "big", "1.5", "-1", "{1,2}", "b'x'", "1j", "None", "1e999", "''", "9" * 400)
    ),
    "p c a",
)
DATASETS = (
    "toy[",
    "toy[noise=7]",
    "toy[noise=]",
    "toy[nope=1]",
    "toy[noise=x]",
    "toy[noise={}]",
    "toy,nope",
    "toy toy",
)
SEEDS = (
    "9" * 5000,
    "0:1" + "0" * 30,
    "a",
    "1:",
    ":",
    "3:1",
    "1.5",
    "0:2:4",
    "0,,1",
    "0;1",
    "0:99999999999",
    "1e3",
    "∞",
    "0x1",
    "[0]",
)
RULES = [
    "CAscore",
    "CAscore:",
    ":-0.05",
    "CAscore:0",
    "CAscore:nan",
    "CAscore:0.05",
    "leak:-0.1",
    "nope:-1",
    "CAscore:-1:2",
]
ASSIGNMENTS = ["salient_dim", "nope=1", "pca.nope=1", "nope.salient_dim=1", "salient_dim=x", ".=1", "toy.noise=9"]
NUMBERS = ("", "x", "0", "-3", "1.5", "nan", "1e999", "🦆")
PLACES = ("", "nowhere", "file", "file/below", "binary")
PLUGINS = ("", "nowhere.py", "folder", "file/below.py")

RUN = ["run", "--methods", "pca", "--datasets", "toy", "--plugin", "toy.py", "--dry-run"]
PREVIEW = ["data", "preview", "--out", "x.png"]
# (a command, an option or nothing for an argument, values that it cannot take)
TABLE = [
    (RUN, "--methods", (*TEXTS, *ITEMS)),
    (RUN, "--datasets", (*TEXTS, *DATASETS)),
    (RUN, "--seeds", (*TEXTS, *SEEDS)),
    (RUN, "--tier", TEXTS),
    (RUN, "--source", TEXTS),
    (RUN, "--metrics", TEXTS),
    (RUN, "--set", (*TEXTS, *ASSIGNMENTS)),
    (RUN, "--plugin", PLUGINS),
    (RUN, "--study", (*PLACES, "folder")),
    (RUN[:-1], "--device", TEXTS),
    (RUN[:-1], "--results", ("file", "file/below")),
    (["list"], "", (*TEXTS, "method", "METHODS")),
    (["list", "methods"], "--plugin", PLUGINS),
    (["describe"], "", TEXTS),
    (["describe", "pca"], "--plugin", PLUGINS),
    (["evaluate"], "", TEXTS),
    (["evaluate", "all"], "--metrics", TEXTS),
    (["evaluate", "all"], "--results", PLACES),
    (["report"], "--results", PLACES),
    (["compare"], "", (*PLACES, "folder", *TEXTS)),
    (["compare", "nowhere"], "--fail-on", (*TEXTS, *RULES)),
    (["compare", "nowhere", "--speed"], "--slowdown", NUMBERS),
    (["compare", "nowhere", "--update"], "--reason", ("", " ", "\t")),
    (["compare", "nowhere", "--update", "--reason", "x"], "--results", PLACES),
    (["show-swaps", "--out", "x.png"], "", TEXTS),
    (["show-swaps", "run"], "--out", ("", "x.jpg", "folder", "x")),
    (["show-swaps", "run", "--out", "x.png"], "--rows", NUMBERS),
    (["calibrate"], "--datasets", (*TEXTS, "cifar_mnist[")),
    (["calibrate"], "--data-seeds", (*TEXTS, *SEEDS)),
    (["calibrate"], "--tier", TEXTS),
    (PREVIEW, "", TEXTS),
    ([*PREVIEW, "cifar_mnist"], "--source", TEXTS),
    ([*PREVIEW, "cifar_mnist"], "--seed", ("", "x", "1.5", "🦆")),
    *((["data", word], "", TEXTS) for word in ("status", "fetch", "prepare", "verify", "where", "rm")),
    (["data", "prepare", "cifar_mnist"], "--jobs", NUMBERS),
    (["data"], "", TEXTS),
    ([], "", TEXTS),
]
CONFLICTS = [
    ["run", "--nope"],
    ["run", "extra"],
    ["run", "--methods"],
    ["run", "--study", "study.yaml", "--methods", "pca"],
    ["report", "--format", "nope"],
    ["report", "--watch", "--nope"],
    ["list"],
    ["list", "methods", "datasets"],
    ["describe"],
    ["evaluate"],
    ["compare"],
    ["compare", "nowhere", "--reason", "x"],
    ["compare", "nowhere", "--update"],
    ["compare", "nowhere", "--update", "--reason", "x", "--junit", "y"],
    ["compare", "nowhere", "--slowdown", "2"],
    ["compare", "nowhere", "--speed", "--fail-on", "leak:+1"],
    ["show-swaps"],
    ["show-swaps", "run"],
    ["data", "preview", "cifar_mnist"],
    ["data", "preview", "cifar_mnist,dsprites_grid", "--out", "x.png"],
    ["data", "fetch"],
    ["--nope"],
]


def command_lines():
    """Return all malformed command lines: the conflicts, and one wrong value each in the others."""
    return CONFLICTS + [[*base, option or "--", value] for base, option, values in TABLE for value in values]


# Nine aliases of nine aliases of ...: written out, 9^9 letters.
BOMB = STUDY.replace(
    "[0.0, 0.3]",
    "[&a [x, x, x, x, x, x, x, x, x]"
    + "".join(f", &{b} [{', '.join([f'*{a}'] * 9)}]" for a, b in itertools.pairwise("abcdefghi"))
    + "]",
)
VALUES = (
    "",
    "!!binary aGk=",
    "!!set {a}",
    "!!python/name:os.system ''",
    "\t",
    "[]",
    "{}",
    "[[1]]",
    "{a:1}",
    "2020-01-01",
    "~",
    "[",
    "'",
)
WRONG = {
    "title": VALUES,
    "methods": (*VALUES, "3", "nope", "[pca, cvae]"),
    "datasets": (*VALUES, "3", "nope"),
    "seeds": (*VALUES, "[0, 1]", "-1", "1.5", "true", ".nan"),
    "tier": (*VALUES, "3", "true"),
    "show": (*VALUES, "CAscore", "[nope]", "[{a: 1}]", "[[CAscore]]", "[~]"),
    "vary": (
        *VALUES,
        "3",
        "[datasets]",
        "{datasets: 3}",
        "{datasets: [noise]}",
        "{datasets: {noise: 3}}",
        "{a: {b: [1]}}",
    ),
    "noise": (*VALUES, "3", "[x]", "[[1]]", "[{a: 1}]", "[~]", "[.nan]", "[9]", "['0.1,x=2']"),
}


def studies():
    """Return malformed study files by what is wrong with them."""
    made = {"empty": "", "text": "text", "number": "3", "list": "- 1", "tabs": STUDY.replace("  ", "\t")}
    made |= {"binary": bytes(range(256)), "latin": "title: é".encode("latin1"), "two": STUDY + "---" + STUDY}
    made |= {"deep": "title: " + DEEP, "bomb": BOMB}
    made |= {"merged": "a: &a {b: 1}\n<<: *a\n" + STUDY, "unknown": STUDY + "nope: 1", "key": STUDY + "[1]: 2"}
    made |= {"untitled": STUDY.replace("title: Noise", ""), "null_byte": STUDY + "\0"}
    made |= {"digits": STUDY.replace('"0"', "9" * 5000)}
    for key, values in WRONG.items():
        line = next(line for line in STUDY.splitlines() if line.strip().startswith(f"{key}:"))
        whole = STUDY.replace("  datasets:\n    noise: [0.0, 0.3]\n", "") if key == "vary" else STUDY
        indent = line[: len(line) - len(line.lstrip())]
        made |= {f"{key}: {value}": whole.replace(line + "\n", f"{indent}{key}: {value}\n") for value in values}
    return made
