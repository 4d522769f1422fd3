"""What needs a person before billing is whole: one list, each entry with what to do."""
