"""`confidence` is arithmetic on arrays."""

from __future__ import annotations

import subprocess
import sys


def test_confidence_imports_neither_torch_nor_scvi_nor_anndata():
    code = "import sys, plkd.confidence; print(*({'torch', 'scvi', 'lightning', 'anndata'} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split() == []
