# The command with its model, for the CPU: docker build -t strdiffusion .
FROM rust:1.95-slim-bookworm AS build
WORKDIR /source
COPY . .
ENV CARGO_PROFILE_RELEASE_STRIP=symbols
RUN cargo build --release --locked --package strdiffusion-cli

FROM debian:bookworm-slim
COPY --from=build /source/target/release/strdiffusion /usr/local/bin/strdiffusion
COPY LICENSE-MIT LICENSE-APACHE /usr/share/doc/strdiffusion/
WORKDIR /work
ENTRYPOINT ["strdiffusion"]
CMD ["serve", "--listen", "0.0.0.0:7860"]
EXPOSE 7860
