// SPDX-License-Identifier: BSD-3-Clause
import Foundation
import Testing

@testable import SwiftCodec

/// Threads that share a model, each with a decoder and an encoder of its own.
@Suite struct ThreadTests {
  @Test(arguments: [1, 2]) func eightThreadsOverOneModel(_ inner: Int) throws {
    let model = try Model(Fixtures.bytes("models/tiny-hyper.scm"))
    let picture = Fixtures.formulaPicture(width: 30, height: 50)
    let encoder = Encoder(model: model)
    encoder.segmentRows = 8
    let expected = try encoder.encode(picture, EncoderSettings(ratePoint: 0))
    let lock = NSLock()
    nonisolated(unsafe) var faults: [String] = []
    // As many threads as there are jobs, on any number of processors.
    parallel(threads: 8, count: 8) { i in
      var execution = Execution()
      execution.threads = inner
      let decoder = Decoder(model: model, execution: execution)
      let encoder = Encoder(model: model)
      encoder.segmentRows = 8
      for turn in 0..<3 {
        var settings = EncoderSettings(
          position: RatePosition(index: turn == 2 ? 0 : i % (model.positions.upperBound.index + 1)))
        settings.execution = execution
        settings.rdoq = turn == 1 ? .quick : .off
        do {
          let bytes = try encoder.encode(picture, settings)
          let decoded = try decoder.decode(bytes.bytes)
          if decoded != bytes.reconstruction || turn == 2 && bytes.bytes != expected.bytes {
            lock.withLock { faults.append("thread \(i), turn \(turn): other bytes") }
          }
          if (try? decoder.decode(Array(bytes.bytes.dropLast()))) != nil {
            lock.withLock { faults.append("thread \(i): a cut file decodes") }
          }
        } catch {
          lock.withLock { faults.append("thread \(i): \(error)") }
        }
      }
    }
    #expect(faults.isEmpty, "\(faults)")
  }
  /// Streams that share the models of intra and inter frames.
  @Test func eightStreamsOverTwoModels() throws {
    let (width, height) = (22, 18)
    let frames = (0..<3).map { Fixtures.movingFrame($0, width: width, height: height) }
    let expected = try VideoTests.encode(frames: 3, width: width, height: height, VideoTests.settings())
    let lock = NSLock()
    nonisolated(unsafe) var faults: [String] = []
    parallel(threads: 8, count: 8) { i in
      do {
        let encoder = try VideoEncoder(
          intra: Fixtures.tinyFormats, inter: Fixtures.tinyInter, width: width, height: height,
          VideoTests.settings { $0.execution.threads = 1 + i & 1 })
        let decoder = try VideoTests.decoder(encoder.header)
        for (t, frame) in frames.enumerated() {
          let packet = try encoder.encode(frame)
          let decoded = try decoder.decode(packet.bytes)
          if packet.bytes != expected.packets[t] || decoded?.picture != expected.frames[t] {
            lock.withLock { faults.append("thread \(i), frame \(t): other bytes") }
          }
        }
      } catch {
        lock.withLock { faults.append("thread \(i): \(error)") }
      }
    }
    #expect(faults.isEmpty, "\(faults)")
  }
}
