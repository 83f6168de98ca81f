"""Trains a small classifier of handwritten digits and logs every step.

    python examples/train_digits.py --learning-rate 0.003 --hidden 64

An ordinary W&B script: with `import wandb` as its first import it runs there unchanged.
"""

import argparse

import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics import confusion_matrix, log_loss
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

import epochal as wandb


def shifted(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the 8x8 images, each moved by up to one pixel, so that no two epochs see the same data."""
    down, right = rng.integers(-1, 2, size=(2, len(images)))
    rows = (np.arange(8)[None, :, None] - down[:, None, None]) % 8
    columns = (np.arange(8)[None, None, :] - right[:, None, None]) % 8
    return images[np.arange(len(images))[:, None, None], rows, columns]


def validate(model: MLPClassifier, images: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Return loss, accuracy and the accuracy of every digit on images the model was not trained on."""
    probabilities = model.predict_proba(images)
    confusion = confusion_matrix(labels, probabilities.argmax(axis=1), labels=range(10))
    per_digit = confusion.diagonal() / confusion.sum(axis=1)
    return {
        "val/loss": log_loss(labels, probabilities, labels=range(10)),
        "val/accuracy": confusion.trace() / confusion.sum(),
        "val/worst_digit": per_digit.min(),
        **{f"val_digit/{digit}": accuracy for digit, accuracy in enumerate(per_digit)},
    }


def main() -> None:
    """Train with the settings of the command line."""
    parser = argparse.ArgumentParser(description="Train a small classifier of handwritten digits.")
    parser.add_argument("--project", default="digits")
    parser.add_argument("--name")
    parser.add_argument("--learning-rate", type=float, default=0.003)
    parser.add_argument("--hidden", type=int, default=64, help="units of the hidden layer")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    run = wandb.init(project=args.project, name=args.name, config=vars(args), tags=["example"])
    wandb.define_metric("epoch", hidden=True)
    wandb.define_metric("val/*", step_metric="epoch")
    wandb.define_metric("val/accuracy", step_metric="epoch", summary="max")
    wandb.define_metric("val_digit/*", step_metric="epoch")
    config = wandb.config

    images, labels = load_digits(return_X_y=True)
    images = images.reshape(-1, 8, 8) / 16
    train_images, val_images, train_labels, val_labels = train_test_split(
        images, labels, test_size=0.2, random_state=config.seed, stratify=labels
    )
    rng = np.random.default_rng(config.seed)
    model = MLPClassifier(
        hidden_layer_sizes=(config.hidden,),
        learning_rate_init=config.learning_rate,
        random_state=config.seed,
    )

    for epoch in range(config.epochs):
        batch_images, order = shifted(train_images, rng), rng.permutation(len(train_images))
        for start in range(0, len(order), config.batch_size):
            batch = order[start : start + config.batch_size]
            features = batch_images[batch].reshape(len(batch), -1)
            model.partial_fit(features, train_labels[batch], classes=range(10))
            wandb.log(
                {
                    "train/loss": model.loss_,
                    "train/accuracy": model.score(features, train_labels[batch]),
                    "train/weight_norm": np.linalg.norm(np.concatenate([w.ravel() for w in model.coefs_])),
                }
            )
        scores = validate(model, val_images.reshape(len(val_images), -1), val_labels)
        wandb.log({"epoch": epoch, **scores})
        if epoch % 10 == 0:
            wandb.log({"epoch": epoch, "weights/hidden": wandb.Histogram(model.coefs_[0])})
            print(f"epoch {epoch}: loss {scores['val/loss']:.4f}, accuracy {scores['val/accuracy']:.3f}")

    run.summary["parameters"] = sum(weights.size for weights in [*model.coefs_, *model.intercepts_])
    run.finish()


if __name__ == "__main__":
    main()
