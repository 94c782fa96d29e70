"""`plkd.patterns` stands on numpy, pandas and scipy alone."""

from __future__ import annotations

import subprocess
import sys


def test_importing_patterns_loads_neither_torch_nor_scvi():
    code = "import sys, plkd.patterns; print(*sorted({'torch', 'scvi', 'lightning', 'decoupler'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
