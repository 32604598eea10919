# SPDX-License-Identifier: BSD-3-Clause
#
# The part of `make example` for streams: a drawn clip is encoded and decoded again.
.PHONY: example-video
example: example-video
example-video: embedded
	$(CC) -std=c99 -O2 $(CWARN) -I $(INCLUDE) -o $(OUT)/video examples/video.c $(OUT)/libswiftcodec.a -lm -lpthread
	$(OUT)/video
