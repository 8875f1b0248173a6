/* A node of C dqlite, as an application that embeds the library runs one: with the library's
 * defaults, and connections between nodes that are made as go-dqlite makes them, which is how most run it.
 *
 *     c-dqlite-node ID HOST:PORT DIRECTORY
 *
 * It prints a line with address=HOST:PORT when it serves, and stops at SIGTERM. The node with the id 1 begins a cluster;
 * any other waits to be added. */

#include <dqlite.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* The library's own leaves TCP_NODELAY off: an entry then may wait 40 ms for the acknowledgement of the one before it.
 * Connections of Go have it on. */
static int connect_to_node(void *argument, const char *address, int *descriptor)
{
	(void)argument;
	char host[256];
	const char *colon = strrchr(address, ':');
	if (!colon || (size_t)(colon - address) >= sizeof host) return 1;
	memcpy(host, address, colon - address);
	host[colon - address] = 0;
	struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
	struct addrinfo *found;
	if (getaddrinfo(host, colon + 1, &hints, &found) != 0) return 1;
	int result = 1;
	*descriptor = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (*descriptor >= 0) {
		int on = 1;
		setsockopt(*descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
		result = connect(*descriptor, found->ai_addr, found->ai_addrlen) == 0 ? 0 : 1;
		if (result != 0) close(*descriptor);
	}
	freeaddrinfo(found);
	return result;
}

int main(int count, char **arguments)
{
	if (count != 4) {
		fprintf(stderr, "usage: c-dqlite-node ID HOST:PORT DIRECTORY\n");
		return 2;
	}
	const char *address = arguments[2];
	const char *directory = arguments[3];

	/* Blocked before the node's thread begins, which inherits it: only sigwait below takes them. */
	sigset_t signals;
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	signal(SIGPIPE, SIG_IGN);

	mkdir(directory, 0700);
	dqlite_node *node = NULL;
	if (dqlite_node_create(strtoull(arguments[1], NULL, 10), address, directory, &node) != 0 ||
	    dqlite_node_set_bind_address(node, address) != 0 ||
	    dqlite_node_set_connect_func(node, connect_to_node, NULL) != 0 || dqlite_node_start(node) != 0) {
		fprintf(stderr, "c-dqlite-node: %s\n", node ? dqlite_node_errmsg(node) : "cannot be created");
		return 1;
	}
	printf("READY address=%s\n", address);
	fflush(stdout);

	int signal_number;
	sigwait(&signals, &signal_number);
	int status = dqlite_node_stop(node);
	dqlite_node_destroy(node);
	return status == 0 ? 0 : 1;
}
