import pytest
from trained_run import Trained, trained


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> tuple[Trained, list]:
    """A run that was finished, and the events that said so."""
    from transfer_core.training.finish import finish

    run = trained(tmp_path_factory.mktemp("run"))
    return run, list(finish(run.folder, run.manifest, run.home, name=NAME, device="cpu"))


NAME = "früchte / 🍎"
