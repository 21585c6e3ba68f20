"""Figures are drawn without a window and closed after each test."""

import matplotlib as mpl
import pytest
from matplotlib import pyplot as plt


@pytest.fixture(autouse=True)
def no_windows():
    mpl.use("agg")
    plt.close("all")
    yield
    for number in plt.get_fignums():
        plt.figure(number).canvas.draw()  # what is drawn late may warn, which is an error
    plt.close("all")
