/* magnum-swarm-front: the TLS end of a local node's Docker API. dockerd reads its certificates only
 * when it starts, and its end is the end of its containers; so it serves a socket of its own
 * directory, and this program stands before it: it takes the TCP socket, checks clients, passes
 * bytes on, and takes over new certificates while connections go on.
 *
 * DIR/front.pem is what it works with: a line "# serial TEXT", the private key, the certificate,
 * then every CA that is trusted; it is replaced as a whole (rename), and read again when it is.
 * DIR/front.loaded says what is in use: TEXT, or "error: " and why the new file is not.
 * Connections whose client is no longer trusted are closed; sessions can't be resumed, so that no
 * client gets around the check. Neighbours: local_front.c writes the file, lib/local starts it. */
#ifndef SWARM_FRONT_H
#define SWARM_FRONT_H

/* Serves the listening socket until killed; a process of its own. Returns when it can't begin. */
int front_serve(int listen_fd, const char *dir);

/* front_relay.c */
struct ssl_st;
/* Passes bytes both ways until both sides have ended; both descriptors are non-blocking. */
void front_relay(struct ssl_st *ssl, int tls_fd, int plain_fd);

#endif
