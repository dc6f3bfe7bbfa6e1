"""How good an agent's answers are, over a set of questions with known sources and facts."""
