"""The paper's released mathematics in plain float64 numpy, written from the formulas and sharing no code with plkd.

Everything is done the naive way: dense masked tokenizer, square attention for every block and token, loops over labels.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.special import erf


def scaled(counts):
    """log1p of counts per 10,000."""
    counts = np.asarray(counts, dtype=np.float64)
    return np.log1p(1e4 * counts / counts.sum(axis=1, keepdims=True))


def tokens(x, dense_weight, mask, bias):
    """Masked linear layer from G genes to P tokens of width d: weight (G, P, d), mask (G, P), bias (P, d)."""
    n_genes, n_patterns, width = dense_weight.shape
    masked = dense_weight * mask[:, :, None]
    return (x @ masked.reshape(n_genes, n_patterns * width)).reshape(-1, n_patterns, width) + bias


def layer_norm(x, weight, bias, eps):
    mean = x.mean(axis=-1, keepdims=True)
    variance = ((x - mean) ** 2).mean(axis=-1, keepdims=True)
    return (x - mean) / np.sqrt(variance + eps) * weight + bias


def gelu(x):
    return 0.5 * x * (1 + erf(x / math.sqrt(2)))


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def attention(x, w, n_heads):
    """Return output and weights, (n_obs, n_heads, T, T); rows of the qkv layer hold q, k, v, each head after head."""
    n_obs, n_tokens, width = x.shape
    per_head = width // n_heads
    qkv = x @ w["qkv.weight"].T + w["qkv.bias"]
    out, weights = np.empty_like(x), np.empty((n_obs, n_heads, n_tokens, n_tokens))
    for h in range(n_heads):
        q, k, v = (qkv[..., part * width + h * per_head :][..., :per_head] for part in range(3))
        weights[:, h] = softmax(np.einsum("nqc,nkc->nqk", q, k) / math.sqrt(per_head))
        out[..., h * per_head : (h + 1) * per_head] = np.einsum("nqk,nkc->nqc", weights[:, h], v)
    return out @ w["proj.weight"].T + w["proj.bias"], weights


def teacher(x_tokens, w, n_heads):
    """Return logits, latent and the attention weights of every block, from tokens without the class token."""
    n_obs = len(x_tokens)
    hidden = np.concatenate([np.repeat(w["class_token"], n_obs, axis=0), x_tokens], axis=1)
    all_weights = []
    for block in w["blocks"]:
        normed = layer_norm(hidden, block["norm1.weight"], block["norm1.bias"], 1e-6)
        attended, weights = attention(normed, block, n_heads)
        hidden = hidden + attended
        normed = layer_norm(hidden, block["norm2.weight"], block["norm2.bias"], 1e-6)
        inner = gelu(normed @ block["fc1.weight"].T + block["fc1.bias"])
        hidden = hidden + inner @ block["fc2.weight"].T + block["fc2.bias"]
        all_weights.append(weights)
    latent = layer_norm(hidden, w["norm.weight"], w["norm.bias"], 1e-6)[:, 0]
    return latent @ w["head.weight"].T + w["head.bias"], latent, all_weights


def rollout(all_weights, *, raw):
    """Product of the row-normalised (mean over heads + I), last block leftmost; class token's row without itself."""
    product = np.eye(all_weights[0].shape[-1])[None]
    for weights in all_weights:
        step = weights.mean(axis=1) + np.eye(weights.shape[-1])
        product = (step / step.sum(axis=-1, keepdims=True)) @ product
    row = product[:, 0, 1:]
    return row if raw else row / row.sum(axis=-1, keepdims=True)


def student(x, hidden_layers, head_weight, head_bias):
    """Linear, LayerNorm (eps 1e-5), GELU for each hidden layer, then a linear head."""
    for w in hidden_layers:
        x = gelu(layer_norm(x @ w["weight"].T + w["bias"], w["norm.weight"], w["norm.bias"], 1e-5))
    return x @ head_weight.T + head_bias


def released_divergence(latent, logits):
    n_obs, n_labels = logits.shape
    s = np.array([[math.exp(-np.sum((latent[i] - latent[j]) ** 2)) for j in range(n_obs)] for i in range(n_obs)])
    total = 0.0
    for a in range(n_labels):
        for b in range(a + 1, n_labels):
            y_a, y_b = logits[:, a], logits[:, b]
            norms = (y_a @ s @ y_a + 1e-6) * (y_b @ s @ y_b + 1e-6)
            total += (y_a @ s @ y_b) / (math.sqrt(norms) + 1e-6)
    return total / n_labels


def self_entropy(logits):
    p = softmax(logits.mean(axis=0))
    return -np.sum(p * np.log(p + 1e-6)) / logits.shape[1]


def cross_entropy(logits, labels):
    return -np.mean([math.log(p[label]) for p, label in zip(softmax(logits), labels, strict=True)])


def distillation(student_logits, teacher_logits, temperature):
    """T^2 KL(teacher || student), summed over labels, mean over cells."""
    p, q = softmax(teacher_logits / temperature), softmax(student_logits / temperature)
    return temperature**2 * np.mean(np.sum(p * np.log(p / q), axis=1))
