"""Every network that can be trained or searched: what the planner knows of it, and how it is built."""
