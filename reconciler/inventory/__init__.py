"""What a look at the cluster becomes: Helm releases, attribution, the fold into apps."""
