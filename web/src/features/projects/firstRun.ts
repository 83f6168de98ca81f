/** The lines that log a first run: an ordinary W&B script, but for the import. */
export const FIRST_RUN = `import epochal as wandb

with wandb.init(project="first-steps", config={"lr": 0.1}) as run:
    for step in range(100):
        run.log({"loss": 1 / (1 + step * run.config.lr)})`;
