"""Language models, asked over the chat completions protocol that OpenAI's API has and most others speak, too."""
