"""The sections of metrics.json that every run has, declared."""

from scorelab.laws.section import Section

RUN = Section(
    "run",
    "Where the numbers come from. Results are equal bit for bit on one machine with one version of everything and one "
    "number of threads; elsewhere they agree within their standard errors.",
    (
        ("seed", "integer", "the one integer that every random number follows from"),
        (
            "git_commit",
            "name",
            "commit of the code that ran, with `-dirty` where the code was changed since; `null` outside of a checkout",
        ),
        ("versions.PACKAGE", "name", "version of Python, and of each of the main packages"),
        ("device", "name", "kind and name of the device; for the CPU the number of threads"),
        ("wall_seconds", "seconds", "time of all stages together"),
        ("fingerprint", "name", "digest of every configured value that the results depend on"),
        ("sampled_from.run", "name", "the run whose network a run was sampled by; absent where a run has its own"),
        ("sampled_from.fingerprint", "name", "the fingerprint of this run"),
        ("sampled_from.weights.NETWORK", "name", "SHA-256 of its file NETWORK.safetensors"),
    ),
)

#: only for the page; its names are keys of other sections, and `undeclared` checks that these keys are declared
NOT_MEASURED = Section(
    "not_measured",
    "What could not be measured, and why. A number that is named here is absent from its own section. The section is "
    "absent if everything was measured.",
    (("SECTION.KEY", "text", "dotted name of a number, or of a whole place -> the reason"),),
)
