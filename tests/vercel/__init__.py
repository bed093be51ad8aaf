"""The functions in Vercel's own runtime, and the deployment that Vercel's own builder makes."""
