"""What an agent is made of, one file for each thing: its objects, its condition, when it may go."""
