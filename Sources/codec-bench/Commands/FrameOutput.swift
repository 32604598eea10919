// SPDX-License-Identifier: BSD-3-Clause

import PictureFiles
import SwiftCodec

/// Writes frames to a Y4M file while the next ones are decoded: one thread hands them over, another one runs `writeAll`. Where
/// there is no other thread, frames are written as they come.
final class FrameOutput: @unchecked Sendable {
  private let file: OutputFile
  private let writer: Y4MWriter
  private let lock = Lock()
  // All of it under the lock:
  private var next: Picture?
  private var isRunning = false
  private var isClosed = false
  private var failure: ToolError?

  init(_ file: OutputFile, _ writer: Y4MWriter) {
    self.file = file
    self.writer = writer
  }

  /// Takes a frame, once the one before is being written. An error is that of an earlier frame.
  func take(_ picture: Picture) throws(ToolError) {
    guard writer.fits(picture) else { throw .badData(file: "-", "a frame that is not one of the stream") }
    let isTaken = try lock.with { () throws(ToolError) in
      while next != nil, failure == nil { lock.wait() }
      if let failure { throw failure }
      if isRunning { next = picture }
      lock.wake()
      return isRunning
    }
    if !isTaken { try write(picture) }
  }

  /// No more frames will come.
  func close() {
    lock.with {
      isClosed = true
      lock.wake()
    }
  }

  /// Writes frames until `close`.
  func writeAll() {
    lock.with { isRunning = true }
    while let picture = taken() {
      do throws(ToolError) { try write(picture) } catch { lock.with { failure = failure ?? error } }
    }
    lock.with { isRunning = false }
  }

  /// The next frame, when it comes; nil if none will.
  private func taken() -> Picture? {
    lock.with {
      while next == nil, !isClosed { lock.wait() }
      let picture = next
      next = nil
      lock.wake()
      return picture
    }
  }

  /// What went wrong with the last frames, after `close` and `writeAll`.
  func check() throws(ToolError) { if let failure { throw failure } }

  private func write(_ picture: Picture) throws(ToolError) {
    try file.write(Y4MWriter.frameStart)
    try file.write(picture.samples)
  }
}
