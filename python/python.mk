# SPDX-License-Identifier: BSD-3-Clause
#
#   make test-python     installs the package with pip into an environment of its own and runs its tests
# Needs Python with venv; pip fetches numpy, Pillow and pytest.
PYTHON_ENVIRONMENT = .build/python-venv

.PHONY: test-python
test-python: shared
	test -x $(PYTHON_ENVIRONMENT)/bin/python || $(PYTHON) -m venv $(PYTHON_ENVIRONMENT)
	SWIFTCODEC_LIBRARY=$(CURDIR)/$(OUT)/$(SHARED) $(PYTHON_ENVIRONMENT)/bin/pip install --quiet --force-reinstall --no-deps ./python
	$(PYTHON_ENVIRONMENT)/bin/pip install --quiet numpy pillow pytest mypy
	$(PYTHON_ENVIRONMENT)/bin/mypy --strict --cache-dir=$(OUT)/mypy python/src/swiftcodec
	$(PYTHON_ENVIRONMENT)/bin/python -m pytest --quiet -p no:cacheprovider python/tests
