# Everything happens in .venv, which the first call makes (a few minutes and some
# gigabytes: torch) and later calls reuse.

.DEFAULT_GOAL := help
.PHONY: help demo test check audit docs clean system-libraries

export PYTHON
export QT_API := pyqt6

BIN := .venv/bin
INSTALLED := .venv/installed

ifeq ($(shell uname -s),Linux)
ifeq ($(DISPLAY)$(WAYLAND_DISPLAY),)
HEADLESS := yes
ON_SCREEN := xvfb-run -a -s "-screen 0 1920x1200x24 +extension GLX +render -noreset"
endif
endif

help:
	@echo "make demo    napari with the sample pair, the result painting itself live"
	@echo "             (without a display: writes demo.png and demo-result.png)"
	@echo "make test    make check, then the test suite with its coverage; what CI runs"
	@echo "make check   ruff, formatting, mypy"
	@echo "make audit   known holes in the dependencies; needs the network, so CI alone runs it"
	@echo "make docs    the documentation, as build/docs/index.html"
	@echo "make clean   remove .venv and everything else that was made"
	@echo
	@echo "PYTHON=python3.12 chooses the interpreter the first time."

demo: system-libraries $(INSTALLED)
	$(ON_SCREEN) $(BIN)/napari-neural-style demo $(if $(HEADLESS),--screenshot demo.png --result demo-result.png)

# Many tests wait for other processes: three workers keep two cores busy.
test: system-libraries check
	$(ON_SCREEN) $(BIN)/python -m pytest -n 3 --dist worksteal --cov --cov-report=term

check: $(INSTALLED)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

audit: $(INSTALLED)
	scripts/audit

docs: $(INSTALLED)
	$(BIN)/sphinx-build -W --keep-going -n -q docs build/docs

clean:
	rm -rf .venv build .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache dist demo.png demo-result.png

system-libraries:
ifeq ($(shell uname -s),Linux)
	@scripts/system-libraries
endif

$(INSTALLED): pyproject.toml constraints.txt scripts/make-venv
	@echo "Installing into .venv: some minutes the first time."
	@scripts/make-venv
	@touch $@
