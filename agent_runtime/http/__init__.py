"""The HTTP edge: OpenAI's API, health and metrics. It parses, delegates and translates."""
