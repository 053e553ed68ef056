"""pynetdicom leaves the sockets of its senders to the garbage collector, which warns."""

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(__file__.rpartition("/")[0]):
            item.add_marker(pytest.mark.filterwarnings("ignore:unclosed <(socket|ssl):ResourceWarning"))
            item.add_marker(
                pytest.mark.filterwarnings("ignore:.*(socket|ssl).*:pytest.PytestUnraisableExceptionWarning")
            )
