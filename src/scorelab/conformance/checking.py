"""How anything is checked: named properties, each measured on its own, whatever the code under check does."""

from functools import cached_property

from scorelab.conformance.report import NotMeasured, Property, Report
from scorelab.errors import ScorelabError, one_line


def kind_of(thing) -> str:
    """The class of something, with its library, as numpy.ndarray."""
    cls = type(thing)
    return cls.__name__ if cls.__module__ == "builtins" else f"{cls.__module__.partition('.')[0]}.{cls.__name__}"


class Check:
    """Something under check, and the properties that it is checked for.

    A subclass has `functions`, in the order of the report. Each is a function of the check; its name is the name of the
    property, and it returns (passed, measured) or (passed, measured, numbers), the fields of a `Property`.
    """

    #: the functions that measure the properties; the first of them, `shape`, tells what is wrong with the first call
    functions: tuple = ()
    #: names of the properties that are numbers alone, without a verdict
    without_verdict: frozenset = frozenset()

    def __init__(self, name: str):
        self.name = name

    def first_call(self):
        """Call the code under check as all properties do. Returns what is wrong with its answer, None if nothing is;
        raises what it raises."""
        return None

    @cached_property
    def broken(self) -> str | None:
        """Why nothing can be measured: how the first call fails; None if it does not."""
        try:
            return self.first_call()
        except Exception as error:  # whatever somebody else's code raises
            return f"raises {one_line(error)}"

    @property
    def names(self) -> list[str]:
        """The names of all properties."""
        return [each.__name__ for each in self.functions]

    def measure(self, name: str) -> Property:
        """One property; an error of the code under check is a failure of the property, if it can fail at all."""
        if self.broken is not None:
            told = name == self.names[0]
            return Property(name, *((False, self.broken) if told else (None, f"not measured: see {self.names[0]}")))
        function = next(each for each in self.functions if each.__name__ == name)
        try:
            return Property(name, *function(self))
        except NotMeasured as why:
            return Property(name, None, f"not measured: {why}")
        except Exception as error:  # whatever somebody else's code raises
            said = f"raises {one_line(error)}"
            return Property(name, *((None, f"not measured: {said}") if name in self.without_verdict else (False, said)))

    def chosen(self, only=None) -> list[str]:
        """The names of all properties, or those of them that `only` names, in the order of the report; and of the first
        one in any case where the first call fails.

        Raises ScorelabError for a name that does not exist.
        """
        only = [only] if isinstance(only, str) else only
        unknown = sorted({*(only or ())} - {*self.names})
        if unknown:
            raise ScorelabError(f"only = {unknown[0]}: allowed are {', '.join(self.names)}")
        chosen = [each for each in self.names if only is None or each in only]
        return chosen if self.broken is None else [*dict.fromkeys([self.names[0], *chosen])]

    def report(self, only=None, watch=None) -> Report:
        """The report of the properties that `chosen` gives; watch(property): called with each as it is measured."""
        properties = []
        for name in self.chosen(only):
            properties.append(self.measure(name))
            if watch is not None:
                watch(properties[-1])
        return Report(self.name, tuple(properties), self.rows() if self.broken is None else [])

    def rows(self) -> list[dict]:
        """The curves of the report: what the measured properties found, by steps or by noise level."""
        return []
