"""ONNX Runtime: prediction only."""

import onnxruntime
from onnx import TensorProto, helper, numpy_helper

THREADS = 1


def set_up(threads, **arguments):
    global THREADS
    THREADS = threads


def model(problem):
    """Gemm and Relu for each layer, Softmax after the last."""
    nodes, tensors, x = [], [], "X"
    for i, pair in enumerate(problem.weights):
        names = [f"weight{i}", f"bias{i}"]
        tensors += map(numpy_helper.from_array, pair, names)
        nodes.append(helper.make_node("Gemm", [x, *names], [f"z{i}"]))
        last = i == len(problem.weights) - 1
        x = "p" if last else f"a{i}"
        nodes.append(helper.make_node("Softmax" if last else "Relu", [f"z{i}"], [x]))
    value = helper.make_tensor_value_info
    inputs = [value("X", TensorProto.FLOAT, ["n", problem.layers[0]])]
    outputs = [value("p", TensorProto.FLOAT, ["n", problem.layers[-1]])]
    graph = helper.make_graph(nodes, "mlp", inputs, outputs, tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def prediction(problem):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    session = onnxruntime.InferenceSession(
        model(problem).SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    names, values = ["p"], {"X": problem.X}
    return lambda: session.run(names, values)[0]
