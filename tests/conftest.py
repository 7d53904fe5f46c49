import os

from hypothesis import settings

JIT_DISABLED = os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0")

settings.register_profile("fixed", derandomize=True, deadline=None, max_examples=60)
settings.load_profile("fixed")


def pytest_collection_modifyitems(config, items):
    """Leave out what needs compiled speed where nothing is compiled."""
    heavy = [item for item in items if JIT_DISABLED and item.get_closest_marker("jit_heavy")]
    if heavy:
        config.hook.pytest_deselected(items=heavy)
        items[:] = [item for item in items if item not in heavy]
