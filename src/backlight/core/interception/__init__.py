"""How the engine sees a model's operations, puts rules in their place and leaves no trace."""
