"""What Prometheus is told: one text, made when it is asked for; and its service over TCP.

Nothing else of the program needs any of it, and nothing here waits for the cycle.
"""
