"""User code for a type checker; tests/project/test_typing.py checks it and runs what is right."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, assert_type

import numpy as np
from numpy.typing import ArrayLike, NDArray

import relume
from relume import datasets, nn

Floats = NDArray[np.float32]


def passed_on(x: NDArray[np.floating], activation: Callable[[Any], Any]) -> NDArray[np.floating]:
    activation(x)
    return relume.relu(x)


def of_anything(x: ArrayLike) -> NDArray[Any]:
    return relume.leaky_relu(x, 0.2)


def ufuncs(x: Floats, wide: NDArray[np.float64], whole: NDArray[np.int64]) -> None:
    """The dtype is kept; `out` is what comes back."""
    assert_type(relume.relu(x), Floats)
    assert_type(relume.relu(np.float32(1)), np.float32)
    assert_type(relume.relu(-1.5), np.float64)
    assert_type(relume.relu([1.0, -2.0]), NDArray[Any])
    assert_type(relume.relu(whole), NDArray[Any])
    assert_type(relume.sigmoid(whole, out=wide), NDArray[np.float64])
    assert_type(relume.sigmoid(x, out=(x.copy(),)), Floats)
    assert_type(relume.tanh(x, where=x > 0, out=x.copy(), casting="same_kind"), Floats)
    assert_type(relume.tanh(x, dtype=np.float64), NDArray[Any])
    assert_type(relume.relu_backward(x, x), Floats)
    assert_type(relume.relu_backward(1.0, x), Floats)
    assert_type(relume.relu_backward_from_output(x, x), Floats)
    assert_type(relume.prelu(x, 0.25), Floats)
    assert_type(relume.prelu(x, wide), NDArray[np.floating])
    assert_type(relume.swish(x), Floats)
    assert_type(relume.relu.nin + relume.relu.nout, int)
    assert_type([text.split("->") for text in relume.relu.types], list[list[str]])
    assert_type(passed_on(x, relume.mish), NDArray[np.floating])
    assert_type(of_anything(x), NDArray[Any])


def with_parameters(x: Floats, wide: NDArray[np.float64]) -> None:
    """Python numbers for parameters leave the dtype alone."""
    assert_type(relume.leaky_relu(x), Floats)
    assert_type(relume.leaky_relu(x, 0.2), Floats)
    assert_type(relume.leaky_relu(x, negative_slope=0.2, out=wide), NDArray[np.float64])
    assert_type(relume.leaky_relu(x, wide), NDArray[Any])
    assert_type(relume.leaky_relu(2.0), np.float64)
    assert_type(relume.hardtanh(x, min_val=0.0, max_val=2.0), Floats)
    assert_type(relume.threshold(x, 1.0, 0.0), Floats)
    assert_type(relume.elu_backward(x, x, alpha=2.0), Floats)
    assert_type(relume.elu_backward_from_output(x, x, 2.0), Floats)


def along_an_axis(x: Floats, wide: NDArray[np.float64]) -> None:
    """The dtype is kept, of parts and of sums too."""
    assert_type(relume.softmax(x), Floats)
    assert_type(relume.softmax(x, out=wide), NDArray[np.float64])
    assert_type(relume.log_softmax([1.0, 2.0], axis=0), NDArray[Any])
    assert_type(relume.softmax(x, dtype=np.float64), NDArray[Any])
    assert_type(relume.softmax_backward(x, x, axis=-1), Floats)
    assert_type(relume.log_softmax_backward_from_output(x, x), Floats)
    assert_type(relume.logsumexp(x[np.newaxis], axis=-1, keepdims=True), Floats)
    assert_type(relume.crelu(x), Floats)
    assert_type(relume.crelu_backward(np.append(x, x), x, out=x.copy()), Floats)
    assert_type(relume.glu(x[:8]), Floats)
    assert_type(relume.swiglu(x, x), Floats)
    assert_type(relume.glu_backward(x[:4], x[:8]), Floats)
    largest, which = relume.maxout(x)
    assert_type(largest, Floats)
    assert_type(which, NDArray[np.intp])
    assert_type(relume.maxout_backward(x[:1], which, 9), Floats)


def settings() -> None:
    assert_type(relume.__version__, str)
    assert_type(relume.simd(), str)
    assert_type(relume.get_num_threads(), int)
    with relume.num_threads(1) as threads:
        assert_type(threads, relume.num_threads)


def networks() -> None:
    """Layers, activations and optimizers take what their docstrings say."""
    X, y = datasets.load_digits(return_X_y=True)
    assert_type(y, NDArray[np.int64])
    assert_type(datasets.load_digits(), datasets.Bunch)
    layers = [nn.Dense(8, nn.LeakyReLU(0.1)), nn.Dense(8, nn.ReLU), nn.Dense(10)]
    net = nn.Network(layers, optimizer=nn.Adam(1e-3, betas=(0.9, 0.99)), seed=0)
    history = net.fit(X[:32], y[:32], epochs=1, validation_data=(X[32:64], y[32:64]))
    assert_type(history, nn.History)
    assert_type(history["loss"], list[float])
    assert_type(net.build(64), nn.Network)
    assert_type(net.summary(), str)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "net.safetensors")
        net.save(path)
        assert_type(nn.load(path), nn.Network)
        assert_type(nn.load(str(path), "mse", metrics=["mae"]), nn.Network)
    assert_type(net.predict_proba(X[:1]), NDArray[np.floating])
    assert_type(net.evaluate(X[:8], y[:8]), dict[str, float])
    assert_type(net.layers[0], nn.Layer | nn.Activation)
    net.load_state_dict(net.state_dict())
    net.restore(net.snapshot())
    assert_type(net.epoch, int)


def callbacks() -> None:
    """Callbacks are objects and functions, schedules too."""
    X, y = datasets.load_digits(return_X_y=True)

    class Losses(nn.Callback):
        def on_batch_end(self, net: nn.Network, batch: int, loss: float) -> None:
            assert_type(net.epoch, int)

    def stop(net: nn.Network, epoch: int, figures: dict[str, float]) -> bool:
        return figures["loss"] < 0.1

    stopping = nn.EarlyStopping(patience=3)
    net = nn.Network([nn.Dense(10)], schedule=nn.Cosine(10, warmup=1))
    net.fit(X[:32], y[:32], callbacks=[stopping, Losses(), stop, lambda net, epoch, figures: None])
    assert_type(stopping.best, float | None)
    assert_type(nn.OneCycle(3)(0.5), float)
    nn.Network([nn.Dense(10)], schedule=lambda epoch: 0.5**epoch)


def rejected(x: Floats) -> None:
    """Each line is wrong; were it accepted, mypy would call its comment unused."""
    relume.relu()  # type: ignore[call-overload]
    relume.relu(None)  # type: ignore[call-overload]
    relume.relu(x, slope=0.1)  # type: ignore[call-overload]
    relume.relu(x, casting="never")  # type: ignore[call-overload]
    relume.relu_backward(x)  # type: ignore[call-overload]
    relume.leaky_relu(x, alpha=0.1)  # type: ignore[call-overload]
    relume.threshold(x)  # type: ignore[call-overload]
    relume.relu_backward_from_input(x, x)  # type: ignore[attr-defined]
    relume.set_num_threads("2")  # type: ignore[arg-type]
    nn.ReLU(0.1)  # type: ignore[call-arg]
    nn.LeakyReLU("steep")  # type: ignore[arg-type]
    nn.Dense(3, np.heaviside)  # type: ignore[arg-type]
    nn.Network([nn.Dense(3)], loss="mes")  # type: ignore[arg-type]
    nn.Network([nn.Dense(3)], schedule=0.5)  # type: ignore[arg-type]
    nn.Network([nn.Dense(3)]).fit(x, x, callbacks=[3])  # type: ignore[list-item]
    nn.Cosine("ten")  # type: ignore[arg-type]
    nn.load(3)  # type: ignore[arg-type]
    datasets.load_digits(False)  # type: ignore[call-overload]


def accepted() -> None:
    """Run what type checkers accept: it must not raise."""
    x = np.linspace(-2, 2, 9, dtype=np.float32)
    ufuncs(x, np.zeros(9), np.arange(9))
    with_parameters(x, np.ones(9))
    along_an_axis(x, np.ones(9))
    settings()
    networks()
    callbacks()
