#!/bin/bash
# Init script of every machine of the job cluster: the wheel and its packages, without what belongs to the runtime
# (PySpark, numpy, pandas, pyarrow, SciPy, scikit-learn, matplotlib), which a plain `pip install` would replace.
set -euo pipefail
pip=/databricks/python/bin/pip
"$pip" install --quiet --no-deps --require-hashes -r "$BUNDLE_FILES/requirements.lock"
"$pip" install --quiet --no-deps "$BUNDLE_FILES"/dist/*.whl
