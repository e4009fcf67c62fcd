"""
A policy trained by reinforcement learning
==========================================

A cart has to balance a pole by pushing left or right. There are no labels: the network learns from
the consequences of its actions. This page has the physics in fifteen lines, a policy of 4-32-2
units, and the REINFORCE algorithm.

**In short**: ``forward(training=True)``, then ``backward`` with a gradient that you compute from
the rewards, then ``step``.
"""

# %%
# The cart and the pole
# ---------------------
#
# The equations of Barto, Sutton and Anderson (1983), in steps of 20 ms, for many carts at once.
# An episode ends when the pole leans more than 12 degrees or the cart leaves the track.

import matplotlib.pyplot as plt
import numpy as np

import relume
from relume import nn

N_STEPS = 200


def advance(state, action):
    _, v, angle, spin = state.T
    force = np.where(action == 1, 10.0, -10.0)
    sin, cos = np.sin(angle), np.cos(angle)
    push = (force + 0.05 * spin**2 * sin) / 1.1
    spin_change = (9.8 * sin - cos * push) / (0.5 * (4 / 3 - 0.1 * cos**2 / 1.1))
    v_change = push - 0.05 * spin_change * cos / 1.1
    change = np.stack([v, v_change, spin, spin_change], axis=1)
    state = state + 0.02 * change
    alive = (np.abs(state[:, 0]) < 2.4) & (np.abs(state[:, 2]) < np.radians(12))
    return state, alive


# %%
# Play
# ----
#
# The network gives two logits; the action is drawn from their softmax.


def play(net, n_carts, rng):
    """States, actions and an alive mask, each (steps, carts)."""
    state = rng.uniform(-0.05, 0.05, (n_carts, 4))
    alive = np.ones(n_carts, dtype=bool)
    states, actions, masks = [], [], []
    for _ in range(N_STEPS):
        p_right = relume.softmax(net.forward(state.astype("float32")))[:, 1]
        action = (rng.random(n_carts) < p_right).astype(int)
        states.append(state)
        actions.append(action)
        masks.append(alive)
        state, still = advance(state, action)
        alive = alive & still
        if not alive.any():
            break
    return np.array(states), np.array(actions), np.array(masks)


# %%
# Learn
# -----
#
# The return of a state is the number of steps that its cart still survived. Actions with more than
# the usual return of that time become more likely: the gradient of the loss by the logits is
# ``(softmax(logits) - one_hot(action)) * advantage``.

rng = np.random.default_rng(0)
net = nn.Network(
    [nn.Dense(32, "tanh"), nn.Dense(2)],
    loss="cross_entropy",
    optimizer=nn.Adam(0.02, clip_norm=1.0),
    seed=0,
).build(4)

lengths = []
for _ in range(60):
    states, actions, masks = play(net, n_carts=32, rng=rng)
    lengths.append(masks.sum(axis=0).mean())
    returns = masks[::-1].cumsum(axis=0)[::-1].astype(float)
    usual = returns.sum(axis=1) / np.maximum(masks.sum(axis=1), 1)
    advantage = (returns - usual[:, None])[masks]
    advantage /= advantage.std() + 1e-8

    logits = net.forward(states[masks].astype("float32"), training=True)
    gradient = relume.softmax(logits)
    gradient[np.arange(len(gradient)), actions[masks]] -= 1
    gradient *= advantage[:, None] / len(gradient)
    net.backward(gradient)
    net.step()

print(f"mean length of an episode: {lengths[0]:.0f} steps at first, {lengths[-1]:.0f} at last")

# %%
# The result
# ----------

states, _, masks = play(net, n_carts=20, rng=rng)
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.5), layout="constrained")
left.plot(lengths)
left.axhline(N_STEPS, color="gray", linestyle=":")
left.set(title="Learning to balance", xlabel="update", ylabel="steps until the pole falls")
angles = np.where(masks, np.degrees(states[:, :, 2]), np.nan)
right.plot(np.arange(len(angles)) * 0.02, angles, color="tab:blue", alpha=0.4)
right.set(title="Twenty carts after training", xlabel="seconds", ylabel="angle of the pole (°)")
right.set_ylim(-12, 12)
plt.show()

# %%
# Next
# ----
#
# - One prediction at a time, in a control loop: :ref:`sphx_glr_tasks_speed_plot_one_row.py`.
# - `relume.nn.Network.backward` also returns the gradient by the inputs, which critics need.
