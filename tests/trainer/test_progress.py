"""Does a person see the features and every epoch advance?"""

import pytest

from trainer.progress import ProgressBars, Step


def test_features_and_epochs_have_a_bar_each(capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressBars() as bars:
        for batch in (1, 2):
            bars(Step(epoch=0, epochs=3, batch=batch, batches=2))
        bars(Step(epoch=1, epochs=3, batch=1, batches=1, loss=0.25))
    shown = capsys.readouterr().err
    assert "frozen layers: 100%" in shown
    assert "2/2" in shown
    assert "epoch 1/3: 100%" in shown
    assert "loss=0.2500" in shown
