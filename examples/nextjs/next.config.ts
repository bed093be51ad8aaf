import type { NextConfig } from 'next'

const config: NextConfig = {
  reactStrictMode: true,
  poweredByHeader: false,
  headers: async () => [
    {
      source: '/(.*)',
      headers: [
        { key: 'X-Content-Type-Options', value: 'nosniff' },
        // No image from elsewhere: its address could carry the text of a conversation away.
        {
          key: 'Content-Security-Policy',
          value: `frame-ancestors 'none'; img-src 'self' data: ${process.env.NEXT_PUBLIC_API_URL ?? ''}`,
        },
        // An address tells which conversation was open: no link passes it on.
        { key: 'Referrer-Policy', value: 'no-referrer' },
      ],
    },
  ],
  // This folder, though there may be another lock file above it.
  turbopack: { root: import.meta.dirname },
}

export default config
