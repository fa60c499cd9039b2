"""How fast a model folder answers on this machine, beside what arithmetic allows."""
