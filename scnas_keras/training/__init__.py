"""How a network learns: losses, schedules, learner."""
