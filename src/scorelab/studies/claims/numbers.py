"""The numbers of the study, declared."""

from scorelab.laws.section import Section

SECTIONS = (
    Section(
        "claims",
        "Numbers of `study=claims`; claims.json beside it has every comparison, claims.md is the page.",
        (
            ("count", "claims", "claims that were measured"),
            ("verdicts.VERDICT", "claims", "how many claims have the verdict"),
            ("unexpected", "names", "ids of the claims whose verdict is not the recorded one"),
            ("quick", "truth value", "whether a share of the draws was taken"),
            ("core_seconds", "seconds", "time of all claims together"),
        ),
    ),
)
