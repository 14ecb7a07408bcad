"""What can be shown to somebody who asks why this part passed? One verdict's lineage, a replay, a bundle for a lot."""
