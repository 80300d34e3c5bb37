"""The embedded deployment: the whole platform on one machine, answering the same contract as the cloud."""
