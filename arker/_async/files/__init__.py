"""The files of a computer: `computer.files`, `computer.sync`, and what the two are made of."""
