"""The face of the package: what `import sktopo` makes reachable, and what it costs."""

import subprocess
import sys

import pytest

import sktopo

CODE = """
import sys
import sktopo
slow = {"matplotlib", "torchvision", "pytorch_metric_learning"}
slow |= {"sktopo.study", "sktopo.plotting"}
assert not slow & set(sys.modules)
sktopo.study.TopographicStudy
assert "matplotlib" not in sys.modules
for name in sktopo.__all__:
    assert name in dir(sktopo), name
    getattr(sktopo, name)
"""


def test_public_modules_are_reachable():
    subprocess.run([sys.executable, "-c", CODE], check=True)


def test_no_function_hides_a_module():
    functions = {n for n in sktopo.__all__ if callable(getattr(sktopo, n))}
    assert not functions & {name.removeprefix("sktopo.") for name in sys.modules}


def test_what_is_not_there():
    with pytest.raises(AttributeError, match="no attribute 'studdy'"):
        _ = sktopo.studdy
