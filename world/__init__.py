"""The world outside: ports that say what is asked of it, and the real adapters behind them."""
