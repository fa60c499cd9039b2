"""The scores, on lists and numpy alone; independent libraries are their oracles in the tests."""
