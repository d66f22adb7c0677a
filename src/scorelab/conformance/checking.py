"""How anything is checked: named properties, each measured on its own, whatever the code under check does."""

import math
import numbers

from scorelab.conformance.report import NotMeasured, Property, Report
from scorelab.errors import ScorelabError, one_line


def require_number(name: str, value, least: float, *, whole: bool = False, open_end: bool = False):
    """Raise ScorelabError unless a value is a finite number >= least, or > least where the end is open; whole: an
    integer."""
    kind = numbers.Integral if whole else numbers.Real
    fits = isinstance(value, kind) and not isinstance(value, bool) and math.isfinite(value)
    if not fits or value < least or (open_end and value == least):
        said = f"{'an integer' if whole else 'a number'} {'>' if open_end else '>='} {least} is needed"
        raise ScorelabError(f"{name} = {value}: {said}")


class Check:
    """Something under check, and the properties that it is checked for.

    A subclass has `functions`, in the order of the report. Each is a function of the check; its name is the name of the
    property, and it returns (passed, measured) or (passed, measured, numbers), the fields of a `Property`.
    """

    #: the functions that measure the properties
    functions: tuple = ()

    def __init__(self, name: str):
        self.name = name

    @property
    def names(self) -> list[str]:
        """The names of all properties."""
        return [each.__name__ for each in self.functions]

    def measure(self, name: str) -> Property:
        """One property; an error of the code under check is a failure of the property."""
        function = next(each for each in self.functions if each.__name__ == name)
        try:
            return Property(name, *function(self))
        except NotMeasured as why:
            return Property(name, None, f"not measured: {why}")
        except Exception as error:  # whatever somebody else's code raises
            return Property(name, False, f"raises {one_line(error)}")

    def chosen(self, only=None) -> list[str]:
        """The names of all properties, or those of them that `only` names, in the order of the report.

        Raises ScorelabError for a name that does not exist.
        """
        only = [only] if isinstance(only, str) else only
        unknown = sorted({*(only or ())} - {*self.names})
        if unknown:
            raise ScorelabError(f"only = {unknown[0]}: allowed are {', '.join(self.names)}")
        return [each for each in self.names if only is None or each in only]

    def report(self, only=None, watch=None) -> Report:
        """The report of the properties that `chosen` gives; watch(property): called with each as it is measured."""
        properties = []
        for name in self.chosen(only):
            properties.append(self.measure(name))
            if watch is not None:
                watch(properties[-1])
        return Report(self.name, tuple(properties), self.rows())

    def rows(self) -> list[dict]:
        """The curves of the report: what the measured properties found, by steps or by noise level."""
        return []
