"""How does a folder become batches, and how does a job get finished?"""
