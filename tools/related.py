"""Which public names the API reference shows together, as "See also".

A set holds names that a reader compares: each is shown on the pages of the others. What relates an
activation's class to its function is read from the classes.
"""

from relume import nn

SETS = """
relu leaky_relu relu6 relu_squared threshold
leaky_relu prelu rrelu
elu selu celu
gelu gelu_tanh quick_gelu
silu mish hardswish quick_gelu
sigmoid hardsigmoid logsigmoid
softplus squareplus
tanh hardtanh softsign tanhshrink
hardshrink softshrink tanhshrink
glu reglu geglu swiglu
reglu relu
geglu gelu
swiglu silu
glu sigmoid
crelu maxout relu
softmax log_softmax logsumexp nn.CrossEntropy
get_num_threads num_threads set_num_threads show_config
simd show_config
plots.activations relu
nn.Network nn.Dense nn.load nn.History nn.check_loss
nn.Network sklearn.MLPClassifier sklearn.MLPRegressor
nn.Layer nn.Dense nn.Residual nn.Activation
nn.Dense nn.Initializer
nn.Dropout nn.AlphaDropout
nn.AlphaDropout nn.SELU nn.LecunNormal
nn.BatchNorm nn.LayerNorm nn.GroupNorm nn.Standardize
nn.Scale nn.LayerNorm
nn.PReLU prelu nn.LeakyReLU
nn.RReLU rrelu nn.LeakyReLU
nn.FATReLU nn.ActivityL1 nn.CompactReport
nn.Choices nn.ProductChoice nn.Network
nn.CompactReport nn.CompactedLayer nn.Network
nn.Sine nn.Activation
nn.Shards nn.Network
nn.HeNormal nn.HeUniform nn.ReLU
nn.GlorotNormal nn.GlorotUniform nn.Tanh
nn.LecunNormal nn.LecunUniform nn.SELU
nn.Constant nn.Orthogonal nn.Initializer
nn.MSE nn.MAE nn.Huber nn.Quantile nn.Poisson
nn.CrossEntropy nn.BinaryCrossEntropy
nn.PythonLoss nn.check_loss nn.Loss
nn.SGD nn.Adam nn.AdamW nn.RMSprop nn.NAdam nn.Lion nn.LBFGS
nn.ReduceOnPlateau nn.EarlyStopping
nn.Cosine nn.OneCycle nn.Exponential nn.Step nn.InverseScaling nn.ConstantRate nn.ReduceOnPlateau
nn.LearningRateScheduler nn.Schedule
nn.EarlyStopping nn.ModelCheckpoint nn.TerminateOnNaN
nn.Monitor nn.Revive nn.TrainingWarning diagnostics.inspect plots.dead_units
nn.Revive diagnostics.revive
nn.TensorBoard nn.CSVLogger nn.History
nn.load nn.ModelCheckpoint nn.ModelFileError
nn.from_sklearn sklearn.MLPClassifier onnx.from_estimator
nn.History plots.losses
datasets.load_digits datasets.load_fashion_mnist datasets.Bunch
diagnostics.inspect diagnostics.Report diagnostics.revive diagnostics.Advice plots.layer_histograms
diagnostics.Report diagnostics.LayerReport diagnostics.Distribution diagnostics.GradientStatistics
experiments.run experiments.EXPERIMENTS experiments.Result
experiments.Experiment experiments.Part experiments.Quantity experiments.verdict_of
experiments.Data experiments.Interval experiments.interval
onnx.from_estimator onnx.model_of onnx.register_skl2onnx nn.Network
plots.activations plots.losses plots.layer_histograms plots.gradient_norms plots.dead_units
plots.text_alternative plots.to_svg
sklearn.MLPClassifier sklearn.MLPRegressor
"""


def _classes():
    """The class of each activation by the name of its function."""
    classes = [getattr(nn, name) for name in nn.__all__]
    return {
        cls.row["name"]: f"nn.{cls.__name__}"
        for cls in classes
        if isinstance(cls, type) and issubclass(cls, nn.Activation) and cls.row
    }


def sets():
    """All sets; those of functions are also those of their classes."""
    classes = _classes()
    for line in SETS.strip().splitlines():
        names = line.split()
        yield names
        if all(name in classes for name in names):
            yield [classes[name] for name in names]
    for function, cls in classes.items():
        yield [function, cls]


def related(full):
    """The full names to show on the page of a full name, in the order of the sets."""
    found = [
        f"relume.{other}"
        for names in sets()
        if full.removeprefix("relume.") in names
        for other in names
    ]
    return [name for name in dict.fromkeys(found) if name != full]
