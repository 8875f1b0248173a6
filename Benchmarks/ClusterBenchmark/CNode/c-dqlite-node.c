/* A node of C dqlite, as an application that embeds the library runs one, with the library's defaults.
 *
 *     c-dqlite-node ID HOST:PORT DIRECTORY
 *
 * It prints a line with address=HOST:PORT when it serves, and stops at SIGTERM. The node with the id 1 begins a cluster;
 * any other waits to be added. */

#include <dqlite.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

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
	    dqlite_node_set_bind_address(node, address) != 0 || dqlite_node_start(node) != 0) {
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
