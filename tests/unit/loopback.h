/* loopback.h: a small HTTP server on 127.0.0.1, in threads of the test, that answers as a callback says, or misbehaves. */
#ifndef TESTS_LOOPBACK_H
#define TESTS_LOOPBACK_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/json.h"

struct loopback_reply {
	int status;          /* 0: the connection is dropped without an answer */
	const char *headers; /* "Retry-After: 1\r\n"; NULL: none */
	char *body;          /* freed by the server */
	size_t cut;          /* so many bytes of the body are promised and not sent */
	int delay_ms;
};
struct loopback {
	int fd, port;
	pthread_t thread;
	pthread_mutex_t lock; /* held while answer() is called */
	int open, most;       /* connections that are being answered; the most at a time */
	size_t requests;
	char method[10], path[300], bearer[100];
	void (*answer)(struct loopback *s, json_t *body, struct loopback_reply *out);
	void *arg;
};
struct loopback_connection {
	struct loopback *s;
	int fd;
};

static inline size_t loopback_read(int fd, char *buf, size_t max)
{
	size_t len = 0, want = SIZE_MAX;

	while (len < max - 1 && len < want) {
		ssize_t n = recv(fd, buf + len, max - 1 - len, 0);
		char *end, *length;

		if (n <= 0)
			return 0;
		len += (size_t)n;
		buf[len] = 0;
		end = strstr(buf, "\r\n\r\n");
		length = strcasestr(buf, "content-length:");
		if (end && want == SIZE_MAX)
			want = (size_t)(end - buf) + 4 + (length && length < end ? strtoul(length + 15, NULL, 10) : 0);
	}
	return len;
}

static inline void loopback_field(char out[100], const char *from, const char *name, const char *until)
{
	const char *at = strstr(from, name);

	if (at)
		snprintf(out, 100, "%.*s", (int)strcspn(at + strlen(name), until), at + strlen(name));
}

static inline void loopback_reply(int fd, const struct loopback_reply *r)
{
	size_t len = r->body ? strlen(r->body) : 0;
	char *head = mem_printf("HTTP/1.1 %d X\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n"
				"Connection: close\r\n%s\r\n",
				r->status, len, r->headers ? r->headers : "");

	if (r->status) {
		send(fd, head, strlen(head), MSG_NOSIGNAL);
		send(fd, r->body, len - r->cut, MSG_NOSIGNAL);
	}
	free(head);
}

static inline void *loopback_serve(void *arg)
{
	struct loopback_connection *c = arg;
	struct loopback *s = c->s;
	char *buf = malloc(1 << 20);
	struct loopback_reply r = { .status = 200 };
	json_t *body = NULL;
	const char *end;

	if (loopback_read(c->fd, buf, 1 << 20)) {
		pthread_mutex_lock(&s->lock);
		s->most = ++s->open > s->most ? s->open : s->most;
		s->requests++;
		s->path[0] = 0;
		sscanf(buf, "%9s %299s", s->method, s->path);
		loopback_field(s->bearer, buf, "Authorization: Bearer ", "\r\n");
		end = strstr(buf, "\r\n\r\n");
		body = end ? json_loads(end + 4, 0, NULL) : NULL;
		s->answer(s, body, &r);
		pthread_mutex_unlock(&s->lock);
		usleep((useconds_t)r.delay_ms * 1000);
		pthread_mutex_lock(&s->lock);
		s->open--;
		pthread_mutex_unlock(&s->lock);
		loopback_reply(c->fd, &r);
	}
	json_decref(body);
	free(r.body);
	free(buf);
	shutdown(c->fd, SHUT_RDWR);
	close(c->fd);
	free(c);
	return NULL;
}

static inline void *loopback_accept(void *arg)
{
	struct loopback *s = arg;
	pthread_t threads[4096];
	size_t n = 0;

	for (;;) {
		int fd = accept(s->fd, NULL, NULL);
		struct loopback_connection *c;

		if (fd < 0 || n == 4096)
			break;
		c = malloc(sizeof(*c));
		*c = (struct loopback_connection){ s, fd };
		if (pthread_create(&threads[n], NULL, loopback_serve, c))
			abort();
		n++;
	}
	while (n)
		pthread_join(threads[--n], NULL);
	return NULL;
}

static inline void loopback_open(struct loopback *s)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(at);

	s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (s->fd < 0 || bind(s->fd, (struct sockaddr *)&at, sizeof(at)) || listen(s->fd, 512) ||
	    getsockname(s->fd, (struct sockaddr *)&at, &len))
		abort();
	s->port = ntohs(at.sin_port);
	pthread_mutex_init(&s->lock, NULL);
	if (pthread_create(&s->thread, NULL, loopback_accept, s))
		abort();
}

static inline void loopback_close(struct loopback *s)
{
	shutdown(s->fd, SHUT_RDWR);
	pthread_join(s->thread, NULL);
	close(s->fd);
	pthread_mutex_destroy(&s->lock);
}

#endif
