"""Whatever stands in a configuration, it is accepted, or refused in one line."""

from hypothesis import given, settings
from odd_configurations import configurations

from scorelab.errors import ConfigError
from scorelab.lab.config import check


def accepted(data):
    """The checked configuration, or the line with which it is refused."""
    try:
        return check(data), ""
    except ConfigError as error:
        return None, str(error)


@given(data=configurations())
@settings(max_examples=80)
def test_a_configuration_is_accepted_or_refused_in_one_line(data):
    config, line = accepted(data)
    assert len(line.splitlines()) <= 1
    assert len(line) < 600, line
    if config is not None:  # it is saved, and what is saved is the same
        assert check(config.data).fingerprint == config.fingerprint
        assert check(config.data).data == config.data
