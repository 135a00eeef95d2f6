import subprocess
import sys

import pytest


@pytest.mark.parametrize("module", ["gallery.gallery", "gallery.journey", "gallery.report"])
def test_import_is_light(module: str) -> None:
    code = (
        f"import sys, {module}\n"
        "heavy = {'pymilvus', 'milvus_lite', 'grpc', 'pandas', 'pyarrow', 'torch', 'faiss'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "[]"
